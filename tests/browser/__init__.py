"""The console in a real Chromium: people's walks through it, what is read out, and how it looks."""
