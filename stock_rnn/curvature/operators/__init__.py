"""What is multiplied: symmetric operators."""
