"""For every process of petastorm's own tests, those of Spark and of its process pool too.

The test files themselves use names that numpy 2 has lost.
"""

import numpy as np

from mtl_model.data.petastorm_compat import install

vars(np).update(unicode_=np.str_, string_=np.bytes_)
install()
