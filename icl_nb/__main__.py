import sys

from icl_nb.cli import main

sys.exit(main())
