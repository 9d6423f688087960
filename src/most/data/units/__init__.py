"""Arrays of whole corpora: a plan of shards, the work on one shard, and the crews of workers that share them out."""
