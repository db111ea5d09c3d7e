"""Tables, figures, the page and TensorBoard's files: records and verdicts in, files out."""
