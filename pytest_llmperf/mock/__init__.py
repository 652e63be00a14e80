"""The mock server: a model server for tests, on a real socket, in a process of its own."""
