"Everything a user needs: `from lm_from_scratch.all import *`."
from fastai.callback.all import (CSVLogger, EarlyStoppingCallback, GradientClip, ModelResetter, ReduceLROnPlateau,
                                 RNNRegularizer, SaveModelCallback, ShowGraphCallback, TerminateOnNaNCallback)
from fastai.data.core import DataLoaders
from fastai.learner import Callback, Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import Perplexity, accuracy
from fastai.torch_core import set_seed

from .errors import *
from .data import *
from .nword import *
from .state import *
from .every_word import *
from .tokens import *
from .multilayer import *
from .learner import *
from .lstm import *
from .fast_lstm import *
from .gru import *
from .normalization import *
from .regularization import *
from .weight_tying import *
from .training import *
from .copying import *
from .generation import *
from .inspection import *
from .text import *
from .awd import *
from .after import *
from .scale import *
from .settings import *
from .runs import *
from .saving import *
from .export import *
from .play import *
from .course.ladder import *
from .course.claims import *
from .course.copies import *

__all__ = '''
LMError EmptyText CorpusTooSmall InvalidSize UnknownWord UnknownId TextFileError
number_words human_numbers Vocab Corpus lm_dataloaders nword_dataloaders sequences StreamDL show_stream
TextTokenizer TextFile write_tokens open_tokens text_corpus open_corpus TextCorpus TextPart
evaluate Score evaluate_cache evaluate_dynamic TokenPerplexity
Settings SIZES PRESETS train_run resume_run load_run Run continue_texts SaveRun learner_from_run
export_run play_run write_page

Learner DataLoaders Callback CrossEntropyLossFlat accuracy Perplexity set_seed load_learner
SaveModelCallback EarlyStoppingCallback ReduceLROnPlateau TerminateOnNaNCallback
CSVLogger ShowGraphCallback GradientClip ModelResetter RNNRegularizer
lm_learner LMLearner LMTextLearner lm_splitter TakePrediction ActivationRegularizer
run_seed compare summarize show_results
World join own_rows RankDL Together ParallelModel ProcessLost evaluate_together in_processes

UnrolledRNN LoopRNN Stateful StatefulRNN EveryWordRNN RNNS RNNCell Recurrent LanguageModel
LSTMCell FusedLSTMCell FastLSTM load_torch_lstm to_torch_lstm lstm_weights GRUCell copy_gru flip_update
LayerNorm SequenceBatchNorm StepBatchNorm InputNorm StepRecurrent BatchNormRNNCell
GateNorm SplitNormRNNCell LayerNormRNNCell LayerNormGRUCell LayerNormLSTMCell
Dropout activation_penalty temporal_penalty

generate generate_stream Reader word_probs check_sampling best_accuracy best_accuracy_given gradient_by_distance
lstm_states read_states show_states mutual_information rank_units clamp_accuracy planted_lstm swap_by_distance
moving_dataloaders MovingDL Rewrite Habits borrow trade_before trade_words ForgetState
read_rows count_on count_right read_number write_words word_roles accuracy_by oracle_guesses
warm_hits cache_guesses dynamic_guesses

attend attention_guesses Attention AttentiveLSTM Block GPTLayers looks_ahead
MinGRUCell MinLSTMCell ScanRecurrent scan_loop scan_pairs scan_log

ScaledEmbedding EmbeddingDropout LockedDropout DropLSTM Mogrifier SampledDecoder BFloat16Decoder bfloat16_gain
start_small count_words sample_softmax decode_past exchange_train VaryingDL PartialShuffleDL OverlapDL overlapped prime_below
ScaleByLength RateByLength AveragedSGD NoisyWords PastDecode CpuBudget ByTheClock fit_for

Recipe run_recipe load_results halves LADDER find_recipe run_ladder ladder_table plot_ladder rung_ceiling plot_ceilings
CLAIMS CONTESTANTS find_claims run_claims claims_table show_claim contestants_table plot_claims
COPY_RECIPES TEST_TIME find_copy_recipe run_copies copying_rows copying_table adapted_table
'''.split()
