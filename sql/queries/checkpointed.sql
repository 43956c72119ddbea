SELECT partition FROM checkpoints
