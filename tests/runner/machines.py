"""Made-up machines: the files below /proc and /sys that their conditions are read from."""

from __future__ import annotations

from pathlib import Path

CPU = "sys/devices/system/cpu/"
STAT = "cpu  0 0 0 0 0 0 0 0 0 0\n"


def arm(*cores: tuple[int, int], hardware: str = "") -> str:
    text = "".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: {maker:#x}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: {part:#x}\nCPU revision\t: 1\n\n"
        for number, (maker, part) in enumerate(cores)
    )
    return text + (f"Hardware\t: {hardware}\n" if hardware else "")


def x86(name: str, flags: str = "fpu vme sse2 avx2", mhz: str = "2100.000") -> str:
    return (
        f"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 154\nmodel name\t: {name}\n"
        f"cpu MHz\t\t: {mhz}\nflags\t\t: {flags}\nbugs\t\t: spectre_v1\n\n"
    )


def meminfo(total: int, free: int, swap: int = 0, swap_free: int = 0) -> str:
    return (
        f"MemTotal:       {total} kB\nMemFree:        1000 kB\nMemAvailable:   {free} kB\n"
        f"SwapTotal:      {swap} kB\nSwapFree:       {swap_free} kB\nHugePages_Total:       0\n"
    )


PI = {
    "proc/cpuinfo": arm(*[(0x41, 0xD0B)] * 4) + "Revision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/self/status": "Name:\tpython\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "proc/loadavg": "0.10 0.05 0.01 1/150 999\n",
    "proc/meminfo": meminfo(8_250_000, 7_000_000, 102_400, 102_400),
    CPU + "online": "0-3\n",
    CPU + "cpufreq/policy0/scaling_governor": "ondemand\n",
    CPU + "cpufreq/policy0/scaling_driver": "cpufreq-dt\n",
    CPU + "cpufreq/policy0/scaling_cur_freq": "1500000\n",
    CPU + "cpufreq/policy0/scaling_max_freq": "2400000\n",
    CPU + "cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "81500\n",
    "sys/devices/platform/soc@107c000000/soc:firmware/get_throttled": "50005\n",
}
JETSON = {
    "proc/cpuinfo": arm(*[(0x41, 0xD42)] * 6),
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/self/status": "Cpus_allowed_list:\t0-5\n",
    CPU + "online": "0-5\n",
    CPU + "cpu0/cpufreq/scaling_governor": "schedutil\n",
    CPU + "cpu0/cpufreq/scaling_driver": "tegra194\n",
    CPU + "cpu0/cpufreq/cpuinfo_max_freq": "1728000\n",
    CPU + "cpu0/cpufreq/scaling_max_freq": "1510400\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "49250\n",
    "sys/class/thermal/thermal_zone1/type": "PMIC-Die\n",
    "sys/class/thermal/thermal_zone1/temp": "100000\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=7W >\n",
}
PHONE = {
    "proc/cpuinfo": arm(
        *[(0x41, 0xD46)] * 3, *[(0x41, 0xD4D)] * 4, (0x41, 0xD4E), hardware="Qualcomm Technologies, Inc SM8550"
    ),
    "proc/self/status": "Cpus_allowed_list:\t0-7\n",
    "proc/self/cgroup": "3:cpuset:/foreground\n0::/\n",
    CPU + "online": "0-7\n",
    CPU + "cpufreq/policy0/scaling_governor": "walt\n",
    CPU + "cpufreq/policy3/scaling_governor": "walt\n",
    CPU + "cpufreq/policy7/scaling_governor": "performance\n",
    CPU + "cpufreq/policy7/cpuinfo_max_freq": "3187200\n",
    "sys/class/thermal/cooling_device3/type": "thermal-cpufreq-7\n",
    "sys/class/thermal/cooling_device3/cur_state": "4\n",
    "sys/class/power_supply/battery/type": "Battery\n",
    "sys/class/power_supply/battery/status": "Discharging\n",
}
LAPTOP = {
    "proc/cpuinfo": x86("12th Gen Intel(R) Core(TM) i7-1260P", mhz="1897.242"),
    "proc/self/status": "Cpus_allowed_list:\t0-15\n",
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
    "proc/meminfo": meminfo(16_000_000, 300_000, 8_000_000, 6_000_000),
    CPU + "online": "0-15\n",
    CPU + "smt/active": "1\n",
    CPU + "intel_pstate/no_turbo": "0\n",
    CPU + "cpufreq/policy0/scaling_governor": "powersave\n",
    CPU + "cpufreq/policy0/scaling_driver": "intel_pstate\n",
    CPU + "cpufreq/policy0/scaling_cur_freq": "800000\n",
    CPU + "cpufreq/policy0/cpuinfo_max_freq": "4700000\n",
    CPU + "cpu0/thermal_throttle/core_throttle_count": "12\n",
    CPU + "cpu0/thermal_throttle/package_throttle_count": "31\n",
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "95000\n",
    "sys/class/hwmon/hwmon1/name": "coretemp\n",
    "sys/class/hwmon/hwmon1/temp1_input": "74000\n",
    "sys/class/dmi/id/sys_vendor": "LENOVO\n",
    "sys/class/dmi/id/product_name": "21CBCTO1WW\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "0\n",
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/status": "Discharging\n",
    "sys/firmware/acpi/platform_profile": "balanced\n",
}
SERVER = {
    "proc/cpuinfo": x86("AMD EPYC 7763 64-Core Processor"),
    "proc/self/status": "Cpus_allowed_list:\t0-63\n",
    "proc/self/cgroup": "0::/\n",
    "proc/meminfo": meminfo(256_000_000, 250_000_000),
    "proc/1/cgroup": "0::/init.scope\n",
    CPU + "online": "0-63\n",
    CPU + "smt/active": "0\n",
    CPU + "cpufreq/boost": "0\n",
    CPU + "cpufreq/policy0/scaling_governor": "performance\n",
    "sys/class/hwmon/hwmon0/name": "k10temp\n",
    "sys/class/hwmon/hwmon0/temp1_input": "41250\n",
    "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
    "sys/class/dmi/id/product_name": "c6a.metal\n",
    "sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
    "sys/class/power_supply/hidpp_battery_0/status": "Discharging\n",
}
VM = {
    "proc/cpuinfo": x86("Intel(R) Xeon(R) Platinum 8375C", "fpu vme hypervisor avx512f"),
    "proc/self/status": "Cpus_allowed_list:\t0-1\n",
    CPU + "online": "0-1\n",
    CPU + "cpu0/topology/thread_siblings_list": "0-1\n",
    CPU + "cpu1/topology/thread_siblings_list": "0-1\n",
    "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
    "sys/class/dmi/id/product_name": "m6i.large\n",
}
CONTAINER = {
    "proc/cpuinfo": x86("Intel(R) Xeon(R) Gold 6248"),
    "proc/self/status": "Cpus_allowed_list:\t0,2,4-5\n",
    "proc/self/cgroup": "5:cpuset:/docker/ab\n4:cpu,cpuacct:/docker/ab\n0::/\n",
    "proc/1/cgroup": "4:cpu,cpuacct:/docker/ab\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    CPU + "online": "0-39\n",
    ".dockerenv": "",
}
POD = {
    "proc/self/cgroup": "0::/kubepods/pod7/main\n",
    "proc/1/cgroup": "0::/kubepods/pod7/main\n",
    "sys/fs/cgroup/kubepods/pod7/main/cpu.max": "max 100000\n",
    "sys/fs/cgroup/kubepods/pod7/cpu.max": "250000 100000\n",
    "sys/fs/cgroup/kubepods/cpu.max": "400000 100000\n",
}


def machine(folder: Path, files: dict[str, str]) -> str:
    """Write a machine's files; return its root."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)
