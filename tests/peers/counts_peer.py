"""The numbers of parameters that transformers gives the models of tests/data/configs, without allocating them."""
import json
import os

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def count(path):
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    values = values.get("text_config", values)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(p.numel() for p in model.parameters())


def write(folder):
    """FOLDER/counts: a name and a number a line."""
    configs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "configs")
    with open(os.path.join(folder, "counts"), "w", encoding="utf-8") as out:
        for name in sorted(os.listdir(configs)):
            print(name[:-len(".json")], count(os.path.join(configs, name)), file=out)
