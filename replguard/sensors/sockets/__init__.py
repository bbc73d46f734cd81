"""What the network sensors are made of: the tables of sockets, and the bytes of each flow."""
