"""Data augmentation on whole batches of images: the searched policy, and the baselines that it is compared with."""

from tuun_da.augment.baselines import CropAndFlip as CropAndFlip
from tuun_da.augment.baselines import TrivialAugment as TrivialAugment
from tuun_da.augment.batch_transform import BatchTransform as BatchTransform
from tuun_da.augment.batch_transform import Chain as Chain
from tuun_da.augment.policy import Policy as Policy
