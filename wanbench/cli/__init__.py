"""The command line: arguments -> one public call -> exit code. One file a command; heavy imports inside the functions."""
