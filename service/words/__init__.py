"""What people read, in a terminal and in the console alike: the words for instants, ends, fates and deeds."""
