"""What this machine is: processor, memory, system, accelerators, software.

`probe` puts the record together. `source` is where everything is read from (a file tree,
commands, the environment), so that tests hand in another one. Then one file a part: `cpu`
with `cpuinfo` and `cgroups`, `memory`, `sysctl` (macOS), `operating_system`, `accelerators`
with `pci` and `device_ids`, `power_cap`, `software`.
"""
