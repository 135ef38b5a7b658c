"""Product photo + prompt + placement -> creative: cut-out, layout, background, composite, quality, file."""

from contracts import Prompt
from generation.backend import Backend, RenderRequest, open_backend
from generation.catalogue import Catalogue, DeadRow, iter_catalogue, read_catalogue
from generation.composite import ProductChangedError, composite, require_unchanged
from generation.contact_sheet import SheetCell, contact_sheet
from generation.creative import Creative, Renderer
from generation.cutout import CutOut, MaskError, RembgSegmenter, Segmenter, check_weights, cut_out
from generation.encode import FILE_FORMATS, FileFormat, encode, encode_jpeg, file_format
from generation.fetch import FetchLimits, PhotoFetcher
from generation.gate import Gate, open_gate
from generation.gate_settings import GateSettings
from generation.layout import Placed, frame_for, place
from generation.matte import decontaminate, refine
from generation.original import original_picture
from generation.photo import MAX_BYTES as MAX_PHOTO_BYTES
from generation.photo import Photo, PhotoError, decode_photo, read_photo_bytes
from generation.placements import read_placements
from generation.procedural import ProceduralBackend
from generation.prompts import TAGS, PromptBook, read_prompts
from generation.quality import LIMITS, Verdict, judge_picture
from generation.specs import placement_of, prompt_of, specs_of

__all__ = [
    "FILE_FORMATS",
    "LIMITS",
    "MAX_PHOTO_BYTES",
    "TAGS",
    "Backend",
    "Catalogue",
    "Creative",
    "CutOut",
    "DeadRow",
    "FetchLimits",
    "FileFormat",
    "Gate",
    "GateSettings",
    "MaskError",
    "Photo",
    "PhotoError",
    "PhotoFetcher",
    "Placed",
    "ProceduralBackend",
    "ProductChangedError",
    "Prompt",
    "PromptBook",
    "RembgSegmenter",
    "RenderRequest",
    "Renderer",
    "Segmenter",
    "SheetCell",
    "Verdict",
    "check_weights",
    "composite",
    "contact_sheet",
    "cut_out",
    "decode_photo",
    "decontaminate",
    "encode",
    "encode_jpeg",
    "file_format",
    "frame_for",
    "iter_catalogue",
    "judge_picture",
    "open_backend",
    "open_gate",
    "original_picture",
    "place",
    "placement_of",
    "prompt_of",
    "read_catalogue",
    "read_photo_bytes",
    "read_placements",
    "read_prompts",
    "refine",
    "require_unchanged",
    "specs_of",
]
