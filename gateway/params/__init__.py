"""What a request says of its answer -> what workers are asked for."""
