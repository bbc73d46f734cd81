"""The parts of the sensor of device memory."""
