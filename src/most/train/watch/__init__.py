"""What one watches while a model trains: metrics, routing over time, TensorBoard, the report of a run."""
