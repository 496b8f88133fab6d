"""The field's networks behind one small face each: loading and batching, no scoring."""
