"""The sensors: one file each. What they see becomes events; what they cannot see or lose, they say themselves."""

from replguard.sensors.base import Counters, Readable, Sensor, Timed
from replguard.sensors.registry import Absent, open_all
from replguard.sensors.runner import Runner

__all__ = ["Absent", "Counters", "Readable", "Runner", "Sensor", "Timed", "open_all"]
