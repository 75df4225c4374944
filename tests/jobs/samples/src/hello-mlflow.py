import os
from random import random

import mlflow

mlflow.log_param("hello_param", "world")
mlflow.log_metric("hello_metric", random())
os.system("echo 'hello world' > helloworld.txt")
mlflow.log_artifact("helloworld.txt")
