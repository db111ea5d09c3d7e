"""What a trained run predicts, and how good that is."""
