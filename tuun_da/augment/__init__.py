"""Data augmentation on whole batches of images: the searched policy, and the baselines that it is compared with."""

from tuun_da.augment.auto_augment import AutoAugment as AutoAugment
from tuun_da.augment.batch_transform import BatchTransform as BatchTransform
from tuun_da.augment.batch_transform import Chain as Chain
from tuun_da.augment.crop_and_flip import CropAndFlip as CropAndFlip
from tuun_da.augment.crop_and_flip import Cutout as Cutout
from tuun_da.augment.policy import Policy as Policy
from tuun_da.augment.rand_augment import RandAugment as RandAugment
from tuun_da.augment.trivial_augment import TrivialAugment as TrivialAugment
