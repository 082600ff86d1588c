"""What transformers' apply_chat_template makes of conversations, for the common chat templates.

Each template is there twice: as models have it, and with {% generation %} around the answers, from which transformers
makes the mask of answers.  Both must give the same ids.
"""
import json
import os

import tokenizers_peer
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence

META = tokenizers_peer.META
FOR, ENDFOR = "{% for message in messages %}", "{% endfor %}"
ALTERNATE = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles "
             "must alternate user/assistant/user/assistant/...') }}{% endif %}")


def generation(text):
    return "{% generation %}" + text + "{% endgeneration %}"


def both(text, plain, marked):
    """The template, and the same with the expression `plain` replaced."""
    assert text.count(plain) == 1, (text, plain)
    return text, text.replace(plain, marked)


# ---- the templates ----

def chatml(start="", first=""):
    body = "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    ours = ("{% if message['role'] == 'assistant' %}{{'<|im_start|>assistant\\n'}}"
            + generation("{{message['content'] + '<|im_end|>'}}") + "{{'\\n'}}{% else %}" + body + "{% endif %}")
    return both(start + FOR + first + body + ENDFOR +
                "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}", body, ours)


SMOLLM = ("{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful AI "
          "assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}{% endif %}")


def qwen():
    body = "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    ours = ("        {%- if message.role == \"assistant\" %}{{- '<|im_start|>assistant\\n' }}"
            + generation("{{- message.content + '<|im_end|>' }}") + "{{- '\\n' }}{%- else %}" + body.strip() +
            "{%- endif %}\n")
    text = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\nYou may call one or more functions.\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first)
        or (message.role == "assistant" and not message.tool_calls) %}
""" + body + r"""    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
    return both(text, body, ours)


def qwen3():
    plain = "{{- '<|im_start|>' + message.role + '\\n' + content }}"
    thinking = ("{{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + "
                "'\\n</think>\\n\\n' + content.lstrip('\\n') }}")
    text = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and
        not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content =
                    content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                THINKING
            {%- else %}
                PLAIN
            {%- endif %}
        {%- else %}
            PLAIN
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {{- '<tool_call>' }}
            {%- endfor %}
        {%- endif %}
        END
    {%- elif message.role == "tool" %}
        {{- message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
    end, start = "{{- '<|im_end|>\\n' }}", "{{- '<|im_start|>' + message.role + '\\n' }}"
    place = "        {%- if loop.index0 > ns"
    ours = text.replace(place, "        " + start + "{% generation %}\n" + place)
    ours = ours.replace("THINKING", thinking.replace("'<|im_start|>' + message.role + '\\n<think>", "'<think>"))
    ours = ours.replace("PLAIN", "{{- content }}").replace("END", "{{- '<|im_end|>' }}{% endgeneration %}{{- '\\n' }}")
    return text.replace("THINKING", thinking).replace("PLAIN", plain).replace("END", end), ours


def llama2():
    answer = "{{ ' '  + content.strip() + ' ' + eos_token }}"
    return both("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
                "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}"
                "{% endif %}{% for message in loop_messages %}" + ALTERNATE +
                "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
                "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
                "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
                "{% elif message['role'] == 'assistant' %}" + answer + "{% endif %}" + ENDFOR,
                answer, "{{ ' ' }}" + generation("{{ content.strip() + ' ' + eos_token }}"))


def llama3():
    body = ("{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] "
            "| trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
            "{{ content }}")
    ours = ("{% if loop.index0 == 0 %}{{ bos_token }}{% endif %}{{ '<|start_header_id|>' + message['role'] + "
            "'<|end_header_id|>\\n\\n' }}{% if message['role'] == 'assistant' %}"
            + generation("{{ message['content'] | trim + '<|eot_id|>' }}") +
            "{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}")
    return both("{% set loop_messages = messages %}{% for message in loop_messages %}" + body + ENDFOR +
                "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
                body, ours)


def llama31():
    body = ("        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | "
            "trim + '<|eot_id|>' }}\n")
    ours = ("        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
            "{%- if message['role'] == 'assistant' %}"
            + generation("{{- message['content'] | trim + '<|eot_id|>' }}") +
            "{%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}\n")
    return both(r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message + builtin tools #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
""" + body + r"""    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
""", body, ours)


def mistral(answer, ours):
    return both("{{ bos_token }}" + FOR + ALTERNATE +
                "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
                "{% elif message['role'] == 'assistant' %}" + answer +
                "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}" + ENDFOR,
                answer, ours)


def mistral_system(place, spaces, answer, ours):
    text = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.PLACE and system_message is defined %}
            {{- "OPEN" + system_message + "\n\n" + message["content"] + "CLOSE" }}
        {%- else %}
            {{- "OPEN" + message["content"] + "CLOSE" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        ANSWER
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""
    text = text.replace("PLACE", place).replace("OPEN", spaces[0]).replace("CLOSE", spaces[1])
    return both(text.replace("ANSWER", answer), answer, ours)


def gemma():
    body = "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    ours = ("{{ '<start_of_turn>' + role + '\\n' }}{% if role == 'model' %}"
            + generation("{{ message['content'] | trim + '<end_of_turn>' }}") +
            "{% else %}{{ message['content'] | trim + '<end_of_turn>' }}{% endif %}{{ '\\n' }}")
    return both("{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
                "{{ raise_exception('System role not supported') }}{% endif %}" + FOR + ALTERNATE +
                "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
                "{% else %}{% set role = message['role'] %}{% endif %}" + body + ENDFOR +
                "{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}", body, ours)


def gemma3():
    body = r"""    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
"""
    ours = ("    {%- if role == 'model' -%}" + generation("{{- message['content'] | trim + '<end_of_turn>' }}") +
            "{%- else -%}{{ message['content'] | trim + '<end_of_turn>' }}{%- endif -%}{{ '\\n' }}\n")
    return both(r"""{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
""" + body + r"""{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""", body, ours)


def phi3(nonempty, end):
    answer = "{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}"
    return both(FOR + "{% if message['role'] == 'system'" + nonempty +
                " %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}"
                "{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}" +
                answer + "{% endif %}" + ENDFOR +
                "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}" + end + "{% endif %}",
                answer, "{{'<|assistant|>\\n'}}" + generation("{{message['content'] + '<|end|>'}}") + "{{'\\n'}}")


def deepseek_coder():
    answer = "{{'### Response:\\n' + message['content'] + '\\n<|EOT|>\\n'}}"
    return both("""{% if not add_generation_prompt is defined %}
{% set add_generation_prompt = false %}
{% endif %}
{%- set ns = namespace(found=false) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.found = true -%}
    {%- endif -%}
{%- endfor -%}
{{bos_token}}{%- if not ns.found -%}
{{'You are an AI programming assistant, who answers questions about programs. Others you will refuse\\n'}}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'system' %}
{{ message['content'] }}
    {%- else %}
        {%- if message['role'] == 'user' %}
{{'### Instruction:\\n' + message['content'] + '\\n'}}
        {%- else %}
""" + answer + """
        {%- endif %}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
{{'### Response:'}}
{% endif %}""", answer, "{{'### Response:\\n'}}" + generation("{{message['content'] + '\\n<|EOT|>'}}") + "{{'\\n'}}")


def zephyr():
    answer = "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}\n"
    return both("{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
                "{{ '<|user|>\\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
                "{{ '<|system|>\\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n" +
                answer + "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n"
                "{% endif %}\n{% endfor %}", answer,
                "{{ '<|assistant|>\\n' }}" + generation("{{ message['content'] + eos_token }}") + "{{ '\\n' }}")


# ---- the tokenizers ----

def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def byte_level(specials, pattern=None, begin=None, normalizer=None):
    tokenizer, alphabet = tokenizers_peer.byte_level(pattern)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizers_peer.train(tokenizer, alphabet, [special(text) for text in specials], 256 + len(specials) + 60)
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=begin + " $A", special_tokens=[(begin, tokenizer.token_to_id(begin))])
    return tokenizer


def chatml_tokens():
    return byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], tokenizers_peer.QWEN2,
                      normalizer=normalizers.NFC())


def qwen3_tokens():
    tokenizer = chatml_tokens()
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<think>", "</think>")])
    return tokenizer


def llama3_tokens():
    return byte_level(["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                       "<|eot_id|>"], tokenizers_peer.LLAMA3, "<|begin_of_text|>")


def nemo_tokens():
    return byte_level(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], tokenizers_peer.LLAMA3, "<s>")


def deepseek_tokens():
    return byte_level(["<|begin|>", "<|EOT|>"], begin="<|begin|>")


def llama_tokens(*specials):
    tokenizer = tokenizers_peer.llama(330)
    tokenizer.add_special_tokens(list(specials))
    return tokenizer


def metaspace_tokens(*specials):
    tokenizer = tokenizers_peer.llama_metaspace(330)
    tokenizer.add_special_tokens(list(specials))
    return tokenizer


def phi_tokens():
    return metaspace_tokens(*(special(text, rstrip=True) for text in ("<|assistant|>", "<|system|>", "<|end|>",
                                                                      "<|user|>", "<|endoftext|>")))


def gemma_tokens():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", META)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(" "), "merged_with_previous")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizers_peer.train(tokenizer, [], [special(text) for text in specials] +
                          [AddedToken("<0x%02X>" % byte, special=False) for byte in range(256)], 420)
    tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in range(1, 4)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.decoder = Sequence([Replace(META, " "), ByteFallback(), Fuse()])
    return tokenizer


EOS, V1 = "eos_token", generation("{{ message['content'] + eos_token }}")

# Folder: the name that lspo has for the template, the template and its twin, tokens, begin and end token.
TEMPLATES = {
    "chatml": ("chatml", chatml(), chatml_tokens, None, "<|im_end|>"),
    "chatml-begin": ("chatml", chatml("{{ bos_token }}"), nemo_tokens, "<s>", "</s>"),
    "smollm": ("chatml", chatml(first=SMOLLM), chatml_tokens, "<|im_start|>", "<|im_end|>"),
    "qwen": ("chatml", qwen(), chatml_tokens, None, "<|im_end|>"),
    "qwen3": ("qwen3", qwen3(), qwen3_tokens, None, "<|im_end|>"),
    "llama-2": ("llama-2", llama2(), llama_tokens, "<s>", "</s>"),
    "llama-3": ("llama-3", llama3(), llama3_tokens, "<|begin_of_text|>", "<|end_of_text|>"),
    "llama-3.1": ("llama-3", llama31(), llama3_tokens, "<|begin_of_text|>", "<|eot_id|>"),
    "mistral-1": ("mistral", mistral("{{ message['content'] + eos_token + ' ' }}", V1 + "{{ ' ' }}"), llama_tokens,
                  "<s>", "</s>"),
    "mistral-2": ("mistral", mistral("{{ message['content'] + eos_token}}", V1), metaspace_tokens, "<s>", "</s>"),
    "mistral-2-system": ("mistral", mistral_system("first", (" [INST] ", " [/INST]"),
                                                   '{{- " " + message["content"] + eos_token}}', "{{- ' ' }}" + V1),
                         llama_tokens, "<s>", "</s>"),
    "mistral-3": ("mistral", mistral_system("last", ("[INST] ", "[/INST]"),
                                            '{{- " " + message["content"]|trim + eos_token}}',
                                            "{{- ' ' }}" + V1.replace("['content']", "['content']|trim")),
                  lambda: metaspace_tokens(special("[INST]"), special("[/INST]")), "<s>", "</s>"),
    "mistral-nemo": ("mistral", mistral_system("last", ("[INST]", "[/INST]"), '{{- message["content"] + eos_token}}',
                                               V1), nemo_tokens, "<s>", "</s>"),
    "deepseek-coder": ("deepseek-coder", deepseek_coder(), deepseek_tokens, "<|begin|>", "<|EOT|>"),
    "gemma-2": ("gemma", gemma(), gemma_tokens, "<bos>", "<eos>"),
    "gemma-3": ("gemma", gemma3(), gemma_tokens, "<bos>", "<eos>"),
    "phi-3": ("phi-3", phi3("", "{% else %}{{ eos_token }}"), phi_tokens, "<s>", "<|endoftext|>"),
    "phi-3.5": ("phi-3", phi3(" and message['content']", "{% else %}{{ eos_token }}"), phi_tokens, "<s>",
                "<|endoftext|>"),
    "zephyr": ("zephyr", zephyr(), llama_tokens, "<s>", "</s>"),
}


# ---- conversations ----

def chat(*texts, system=None):
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([] if system is None else [{"role": "system", "content": system}]) + turns


CHATS = [
    chat("Who made the earth?", "God created it."),
    chat("Who?", "He.", "When?", "In the beginning.", "Where?", "There.", system="Answer in one word."),
    chat("hi", "ho", system=""),
    chat("a", "b", system="  two blanks \n"),
    chat(" blanks ", "  and more\n\n", "\n\nlines\n", "\n\nlines first"),
    chat("Größe? 你好 \U0001f600 e\u0301", "Ωμέγα,\u00a0e\u0301 \u3000 \U0001f468\u200d\U0001f469"),
    chat("one", "two", "three"),
    chat("", "empty question"),
    chat("empty answer", "", "again", "here"),
    chat("  ", "x", system="only blanks asked"),
    chat("don't", "'s 123 4567", "\u2028sep\x1c", "\x1ctrimmed\u2003"),
    chat("a [INST ] b <|nothing|> <<SYS>>", "</ s> [ /INST]"),
    chat("why?", "<think>\nhm\n</think>\n\nso", "<tool_response>x</tool_response>",
         "\n<think></think>\n\nthus</think>end"),
    [{"role": "user", "content": "go"}, {"role": "assistant", "content": "\n\n1<think>a<think>\n\nb\n\n</think>c"},
     {"role": "assistant", "content": "2"}, {"role": "assistant", "content": "\n3"}],
    [{"role": "assistant", "content": "begins"}, {"role": "user", "content": "then"},
     {"role": "assistant", "content": "ends"}],
    [{"role": "user", "content": "twice"}, {"role": "user", "content": "asked"},
     {"role": "assistant", "content": "once"}],
    [{"role": "user", "content": "late"}, {"role": "assistant", "content": "yes"},
     {"role": "system", "content": "system"}, {"role": "user", "content": "more"},
     {"role": "assistant", "content": "no"}],
]


def random_chats(draw, count):
    def text():
        return "".join(tokenizers_peer.random_text(draw).replace("<s>", "") for _ in range(draw.randrange(1, 4)))
    return [chat(*(text() for _ in range(draw.choice([2, 2, 4, 4, 6, 3]))),
                 system=text() if draw.random() < 0.5 else None) for _ in range(count)]


def ask(tokenizer, template, twin, messages):
    try:
        ids = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=True,
                                            return_dict=True)["input_ids"]
    except Exception:  # noqa: raise_exception of a template
        return {"messages": messages, "refused": True}
    marked = tokenizer.apply_chat_template(messages, chat_template=twin, tokenize=True, return_dict=True,
                                           return_assistant_tokens_mask=True)
    assert marked["input_ids"] == ids, (messages, ids, marked["input_ids"])
    # Phi's mark takes the blanks at the start of an answer; transformers then counts it as the answer's first token.
    mark = tokenizer.convert_tokens_to_ids("<|assistant|>")
    mask = [int(counts and token != mark) for token, counts in zip(ids, marked["assistant_masks"])]
    return {"messages": messages, "ids": ids, "mask": "".join(map(str, mask))}


def questions(tokenizer, template, chats):
    """Conversations without their last answer, and what stands before it."""
    found = []
    for messages in chats:
        if len(messages) < 2 or [m["role"] for m in messages[-2:]] != ["user", "assistant"]:
            continue
        try:
            ids = tokenizer.apply_chat_template(messages[:-1], chat_template=template, tokenize=True,
                                                add_generation_prompt=True, return_dict=True)["input_ids"]
        except Exception:  # noqa: raise_exception of a template
            continue
        found.append({"messages": messages[:-1], "ids": ids})
    return found


def write(folder, random_count):
    import random
    from transformers import PreTrainedTokenizerFast
    draw = random.Random(3)
    chats = CHATS + random_chats(draw, random_count)
    for name, (known, (template, twin), make, begin, end) in TEMPLATES.items():
        place = os.path.join(folder, "chat", name)
        os.makedirs(place, exist_ok=True)
        make().save(os.path.join(place, "tokenizer.json"), pretty=False)
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(place, "tokenizer.json"), bos_token=begin,
                                            eos_token=end)
        config = {"bos_token": begin, "eos_token": end}
        if name.startswith("gemma"):
            with open(os.path.join(place, "chat_template.jinja"), "w", encoding="utf-8") as file:
                file.write(template)
        elif name == "llama-2":
            config["chat_template"] = [{"name": "tool_use", "template": "{{ tools }}"},
                                       {"name": "default", "template": template}]
        else:
            config["chat_template"] = template
        cases = {"template": known, "chats": [ask(tokenizer, template, twin, messages) for messages in chats],
                 "questions": questions(tokenizer, template, chats)}
        for what, value in (("tokenizer_config.json", config), ("cases.json", cases)):
            with open(os.path.join(place, what), "w", encoding="utf-8") as file:
                json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
