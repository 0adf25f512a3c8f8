// Times from sample 0, as short as they may be.

// Seconds, or h:mm:ss where the span is long; `spanS`: what is shown at once.
export function timeText(seconds, spanS) {
  const digits = Math.max(0, Math.min(7, Math.ceil(1 - Math.log10(spanS / 100))));
  if (spanS < 180 && seconds < 3600) return `${Number(seconds.toFixed(digits))} s`;
  const sign = seconds < 0 ? "-" : "", all = Math.abs(seconds);
  const kept = spanS < 180 ? digits : 0, whole = kept ? Math.floor(all) : Math.round(all);
  const part = kept ? (all - whole).toFixed(kept).slice(1).replace(/\.?0+$/, "") : "";
  const two = (number) => String(number).padStart(2, "0");
  return `${sign}${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${part}`;
}
