"""The topology that `dtopipe init` writes."""

from __future__ import annotations

STARTER = """\
# A run from a board into files. Check it with `dtopipe check`, run it with `dtopipe up`.
# For completion in your editor: `dtopipe schema > topology.schema.json`.
duration: 10s                      # board time; leave it out to run until Ctrl-C
metadata:
  operator: "${USER:-unknown}"     # from the environment; `sample: null` would ask for --meta sample=...

board:
  type: simulated                  # dtopipe boards lists what is installed
  waveform: sine
  frequency_hz: 2

task:
  rate_hz: 1000                    # samples per second and channel
  channels:
    - {name: flux, range: [-10, 10], unit: V}
    - {name: tc1, range: [-0.1, 0.1], unit: V}

ring: {seconds: 4}                 # how long a sink may stop before the board is held up

sinks:                             # dtopipe sinks lists what there is, with all options
  archive: {type: hbuf, path: archive.dt-raw}      # raw codes, exactly as the board gave them
  table: {type: sqlite, path: run.db}
  view: {type: csv, path: view.csv, policy: drop}  # may miss samples, never holds anybody up
"""
