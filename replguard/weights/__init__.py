"""What is a model file, which are protected, and whether some content came from one of them."""
