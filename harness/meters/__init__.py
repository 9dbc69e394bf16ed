"""One file a vendor behind one interface: power, energy, utilization.

`interface` is what every meter offers, `open_meters` chooses the meters of a backend. `process`
(psutil) and `rapl` read the operating system; `nvidia` reads NVML, with `nvidia_errors` for its
error codes, `nvidia_gpm` for what the device's parts do, and `isolation` to try it in a child first.
`amd` reads amdsmi, `tpu` libtpu's monitoring, `apple` macmon or powermetrics, `redfish` a management
controller, `wall` an outside meter that `wall_file` describes; `lines` is how an instrument's lines
are read without waiting. `update_period` finds how often a meter moves. `replay` plays a recorded
trace in place of a device, `replay_file` does so in whole runs and says it, `empty` is the meter that
only says why nothing is measured.
"""
