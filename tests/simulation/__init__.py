"""The core without its servers: a model looked through whole, and the real code on a simulated clock and database."""
