"""One file a framework: find the device, wait for it, ask for its memory."""
