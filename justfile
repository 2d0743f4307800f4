# Each recipe is one command, so that nothing here needs `just`.

# list the recipes
default:
    @just --list

# fetch the model if it is missing, build, start the daemon
run *arguments:
    scripts/run {{ arguments }}

# all checks and tests; or some steps of them: just test fmt tidy
test *steps:
    scripts/test {{ steps }}

# what takes long: release builds, speed, kill -9, benches, licences
test-full:
    scripts/test-full

# what continuous integration runs
ci:
    .ci/run

# time the hot paths
bench *filter:
    cargo bench --workspace --bench '*' -- {{ filter }}

# time memory: appends on Redis and SQLite, as ratios within one run
bench-memory:
    cargo bench -p memory-redis -p memory-sqlite --bench '*'

# kill the daemon and Redis under load, and count what is lost: just crash --rounds 100 --redis
crash *arguments:
    cargo build -p codexd
    cargo xtask crash {{ arguments }}

# format the code
fmt:
    cargo fmt --all

# the workspace's own rules
tidy:
    cargo test --quiet -p xtask

# the public documentation, in a browser
doc:
    cargo doc --workspace --no-deps --open

# the models that run inside the daemon
get-model *options:
    scripts/get-model {{ options }}
