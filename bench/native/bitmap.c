int bitmap_command(const char *line);
int bitmap_command(const char *line) { (void)line; return 0; }
