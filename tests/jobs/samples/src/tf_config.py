import json
import os

found = json.loads(os.environ["TF_CONFIG"])
print(len(found["cluster"]["worker"]), found["task"]["type"], found["task"]["index"])
