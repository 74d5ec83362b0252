//! A message with a place in a file, a cause and a hint, and how it is printed.
