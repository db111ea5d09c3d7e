"""What is asked of an operator."""
