/* unnamed SOURCE TARGET: written without a name (O_TMPFILE), which linkat gives when all is done. */
#include "common.h"
#include <libgen.h>

int main(int argc, char **argv)
{
	static char buffer[1 << 20], shown[64];
	int in = source(argv[1]), out;
	long got;

	(void)argc;
	out = must(open(dirname(strdup(argv[2])), O_TMPFILE | O_RDWR, 0644), "O_TMPFILE");
	while ((got = must(read(in, buffer, MIB), "read")) > 0)
		must(write(out, buffer, got), "write");
	snprintf(shown, sizeof(shown), "/proc/self/fd/%d", out);
	must(linkat(AT_FDCWD, shown, AT_FDCWD, argv[2], AT_SYMLINK_FOLLOW), "linkat");
	return 0;
}
