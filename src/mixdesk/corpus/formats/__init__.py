"""Formats of others' token data: read by their index, written from our shards."""

PARTS: dict[str, str] = {
    "megatron": "megatron:Megatron",
    "mds": "mds:Mds",
    "olmo_npy": "olmo_npy:OlmoNpy",
    "datatrove": "datatrove:Datatrove",
    "litdata": "litdata:Litdata",
}
