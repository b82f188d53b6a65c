// Loaded into the emulator's process: it ends when whoever started it closes the pipe, or dies.
process.stdin.on("end", () => process.exit(0)).resume();
