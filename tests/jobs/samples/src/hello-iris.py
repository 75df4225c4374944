import argparse
import collections
import csv

parser = argparse.ArgumentParser()
parser.add_argument("--iris-csv", type=str)
parser.add_argument("--limit", type=int, default=100)
parser.add_argument("--title", type=str, default="flowers")
args = parser.parse_args()

with open(args.iris_csv) as file:
    rows = list(csv.DictReader(file))[: args.limit]
counted = collections.Counter(row["species"] for row in rows)
print(args.title, dict(sorted(counted.items())))
