"""Takes credentials out of arguments before anybody remembers them."""
