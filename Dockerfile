# The package in a container: docker build -t asd . && docker run --rm -v "$PWD:/work" asd train machine=fan data=simulated
FROM python:3.12-slim

# A compiler for torch.compile; without one training computes plainly and says so.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libsndfile1 \
 && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[dashboard]" && rm -rf /src

# Data, outputs and caches lie in the mounted folder.
WORKDIR /work
ENTRYPOINT ["asd"]
CMD ["--help"]
