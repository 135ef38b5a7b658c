"""What Backdrop knows of users, items and placements: a plain Feast repository (``feast apply`` reads this file).

The Parquet files lie in ``BACKDROP_FEATURES_DIR`` (default: ``data`` beside this file).
"""

import os
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64, String

_FOLDER = Path(os.environ.get("BACKDROP_FEATURES_DIR") or Path(__file__).resolve().parent / "data").resolve()

user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING, description="A shopper.")
item = Entity(name="item", join_keys=["item"], value_type=ValueType.STRING, description="A product.")
placement = Entity(
    name="placement", join_keys=["placement"], value_type=ValueType.STRING, description="A slot on a page."
)

user_source = FileSource(
    name="user_profile_source",
    path=str(_FOLDER / "user_profile.parquet"),
    timestamp_field="event_timestamp",
)
item_source = FileSource(
    name="item_profile_source",
    path=str(_FOLDER / "item_profile.parquet"),
    timestamp_field="event_timestamp",
)
placement_source = FileSource(
    name="placement_profile_source",
    path=str(_FOLDER / "placement_profile.parquet"),
    timestamp_field="event_timestamp",
)

user_profile = FeatureView(
    name="user_profile",
    entities=[user],
    ttl=timedelta(days=30),
    schema=[
        Field(name="browse_segment", dtype=String, description="What the user browses most: a style."),
        Field(name="device", dtype=String, description="mobile or desktop."),
        Field(name="price_affinity", dtype=Float32, description="0 buys cheap, 1 buys dear."),
    ],
    source=user_source,
)
item_profile = FeatureView(
    name="item_profile",
    entities=[item],
    ttl=timedelta(days=90),
    schema=[
        Field(name="category", dtype=String, description="Category whose prompts and model apply."),
        Field(name="price", dtype=Float32, description="In the shop's currency."),
        Field(name="popularity", dtype=Float32, description="0 least, 1 most."),
        Field(name="url", dtype=String, description="Landing page of a click."),
        Field(name="image_url", dtype=String, description="The untouched photo."),
    ],
    source=item_source,
)
placement_profile = FeatureView(
    name="placement_profile",
    entities=[placement],
    ttl=timedelta(days=365),
    schema=[
        Field(name="width", dtype=Int64, description="Pixels."),
        Field(name="height", dtype=Int64, description="Pixels."),
        Field(name="position", dtype=String, description="Where on the page."),
    ],
    source=placement_source,
)

# Written by the learner, online and for training (docs/features.md). Each bucket's end brings a row of everybody with
# activity: a row three default buckets old is of somebody idle for as long, or no learner runs.
activity_source = FileSource(
    name="user_activity_source",
    path=str(_FOLDER / "user_activity.parquet"),
    timestamp_field="event_timestamp",
)
user_activity = FeatureView(
    name="user_activity",
    entities=[user],
    ttl=timedelta(minutes=15),
    schema=[
        Field(name="recent_impressions", dtype=Int64, description="Decisions shown, of the last half hour."),
        Field(name="recent_clicks", dtype=Int64, description="Those of them that were clicked."),
        Field(name="recent_ctr", dtype=Float32, description="Clicks by impression; 0 without impressions."),
    ],
    source=activity_source,
)

decide = FeatureService(
    name="decide",
    features=[user_profile, item_profile, placement_profile, user_activity],
    description="Everything a decision needs.",
)
stream = FeatureService(name="stream", features=[user_activity], description="What the learner writes.")
