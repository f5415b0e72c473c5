"""From a camera to decoded frames in shared memory."""
