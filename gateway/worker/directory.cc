#include "gateway/worker/directory.h"
