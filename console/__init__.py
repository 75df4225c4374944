"""What the terminal shows, and the glue that joins engine, emulator and runtime for the tasks."""
