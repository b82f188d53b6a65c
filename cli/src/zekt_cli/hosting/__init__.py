"""`zekt up`: the data directory, the stand-in's process and the four services in this one."""
