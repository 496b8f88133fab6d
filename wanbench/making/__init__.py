"""Making videos for a suite's prompts with any model: what is asked for, who makes it, and what lies there when it is done."""
