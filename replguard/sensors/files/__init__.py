"""What the file sensors are made of: names on filesystems, watches on single files, and what is told of an act."""
