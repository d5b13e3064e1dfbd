"""The job types of the manual and their priorities."""

CRITICAL, HIGH, NORMAL, LOW = range(4)
PRIORITY_NAMES = ("critical", "high", "normal", "low")

PRIORITY: dict[str, int] = {
    "script": NORMAL,
    "command": NORMAL,
    "service_control": CRITICAL,
    "process_control": CRITICAL,
    "network_diagnostic": HIGH,
    "software_install": NORMAL,
    "user_control": CRITICAL,
    "group_control": CRITICAL,
}
"""Agents pick up by priority, then by scheduled time: the lower number first."""

NAMES: tuple[str, ...] = tuple(PRIORITY)
"""Every job type."""

ALWAYS_CRITICAL = frozenset({"service_control", "process_control", "user_control", "group_control"})
"""Types whose priority nobody can lower."""
