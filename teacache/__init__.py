"""Caching for diffusion transformers: skip the blocks on denoising steps that change little.

with teacache.enabled(pipe, teacache.TeaCacheConfig(rel_l1_thresh=0.25)) as cache:
    image = pipe(prompt, num_inference_steps=28).images[0]
print(cache.stats.computed, "of", cache.stats.steps, "steps computed")
"""

from teacache.cache import Cache as Cache
from teacache.cache import apply_teacache as apply_teacache
from teacache.cache import disable as disable
from teacache.cache import enable as enable
from teacache.cache import enabled as enabled
from teacache.cache import published_for as published_for
from teacache.calibrate import calibrate as calibrate
from teacache.calibration import Calibration as Calibration
from teacache.configs import AdaptiveConfig as AdaptiveConfig
from teacache.configs import ScheduleConfig as ScheduleConfig
from teacache.configs import TeaCacheConfig as TeaCacheConfig
from teacache.configs import Uncached as Uncached
from teacache.errors import AlreadyEnabledError as AlreadyEnabledError
from teacache.errors import CoefficientsError as CoefficientsError
from teacache.errors import TeaCacheError as TeaCacheError
from teacache.errors import UnsupportedModelError as UnsupportedModelError
from teacache.models import Blocks as Blocks
from teacache.models import Indicator as Indicator
from teacache.models import Model as Model
from teacache.models import Published as Published
from teacache.register import register as register
from teacache.register import unregister as unregister
from teacache.row_layout import RowLayout as RowLayout
from teacache.statistics import CallStats as CallStats
from teacache.statistics import Stats as Stats
