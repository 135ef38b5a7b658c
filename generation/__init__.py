"""Product photo + prompt + placement -> creative: cut-out, layout, background, composite, quality, file."""

from contracts import Prompt
from generation.backend import Backend, RenderRequest, open_backend, pinned_options
from generation.catalogue import Catalogue, DeadRow, iter_catalogue, read_catalogue
from generation.composite import ProductChangedError, composite, require_unchanged
from generation.contact_sheet import SheetCell, contact_sheet
from generation.creative import Creative, Failure, Finisher, Renderer, Wanted, originals, placed_once
from generation.cutout import CutOut, MaskError, Segmenter, cut_out, cutout_recipe
from generation.cutout_file import cutout_name, decode_cutout, encode_cutout
from generation.document import read_document
from generation.encode import FILE_FORMATS, FileFormat, encode, file_format
from generation.fetch import FetchLimits, PhotoFetcher
from generation.gate import Gate, open_gate
from generation.gate_settings import GateSettings
from generation.layout import ANCHORS, Placed, frame_for, place
from generation.matte import decontaminate, refine
from generation.original import original_picture
from generation.photo import MAX_BYTES as MAX_PHOTO_BYTES
from generation.photo import Photo, PhotoError, decode_photo, read_photo_bytes
from generation.placements import read_placements
from generation.procedural import ProceduralBackend
from generation.prompt_check import CheckedPrompt, check_book
from generation.prompt_drafts import freeze, write_drafts
from generation.prompt_entry import TAGS
from generation.prompt_errors import PromptError
from generation.prompt_resolve import check_prompts, resolved, usable
from generation.prompt_writer import Brief, Drafts, WriterSettings, draft_prompts, open_writer
from generation.prompts import PromptBook, read_prompts
from generation.quality import LIMITS, Verdict, judge_picture
from generation.segmenter import SEGMENTERS, U2NETP, RembgSegmenter, SegmenterModel, check_weights, segmenter_model
from generation.specs import anchor_of, placement_of, prompt_of, specs_of
from generation.steady import PaintError, SteadyPainter
from generation.token_budget import TokenBudget

__all__ = [
    "ANCHORS",
    "FILE_FORMATS",
    "LIMITS",
    "MAX_PHOTO_BYTES",
    "SEGMENTERS",
    "TAGS",
    "U2NETP",
    "Backend",
    "Brief",
    "Catalogue",
    "CheckedPrompt",
    "Creative",
    "CutOut",
    "DeadRow",
    "Drafts",
    "Failure",
    "FetchLimits",
    "FileFormat",
    "Finisher",
    "Gate",
    "GateSettings",
    "MaskError",
    "PaintError",
    "Photo",
    "PhotoError",
    "PhotoFetcher",
    "Placed",
    "ProceduralBackend",
    "ProductChangedError",
    "Prompt",
    "PromptBook",
    "PromptError",
    "RembgSegmenter",
    "RenderRequest",
    "Renderer",
    "Segmenter",
    "SegmenterModel",
    "SheetCell",
    "SteadyPainter",
    "TokenBudget",
    "Verdict",
    "Wanted",
    "WriterSettings",
    "anchor_of",
    "check_book",
    "check_prompts",
    "check_weights",
    "composite",
    "contact_sheet",
    "cut_out",
    "cutout_name",
    "cutout_recipe",
    "decode_cutout",
    "decode_photo",
    "decontaminate",
    "draft_prompts",
    "encode",
    "encode_cutout",
    "file_format",
    "frame_for",
    "freeze",
    "iter_catalogue",
    "judge_picture",
    "open_backend",
    "open_gate",
    "open_writer",
    "original_picture",
    "originals",
    "pinned_options",
    "place",
    "placed_once",
    "placement_of",
    "prompt_of",
    "read_catalogue",
    "read_document",
    "read_photo_bytes",
    "read_placements",
    "read_prompts",
    "refine",
    "require_unchanged",
    "resolved",
    "segmenter_model",
    "specs_of",
    "usable",
    "write_drafts",
]
