# Every source file of native/ that is not a kernel is compiled once, into `engine`. The kernels are
# compiled once per instruction set, each into its own library and its own C++ namespace
# oneround::<isa>, so that no code for a newer set can be linked into what every machine runs.
{
  'variables': {
    'oneround_tests%': 0,
    # Warnings are errors in CI only: a user's newer compiler must not break an install.
    'oneround_werror': '<!(node -p "Number(process.env.ONEROUND_WERROR === \'1\')")',
    'kernel_sources': ['<!@(node scripts/native-sources.cjs native/kernels --except select.cc)'],
    'engine_sources': [
      '<!@(node scripts/native-sources.cjs native/engine native/ops native/models native/train native/infer native/measure native/aggregate native/convert native/kernels/select.cc)',
    ],
  },
  'target_defaults': {
    'include_dirs': ['native'],
    # -ffp-contract=off: a*b+c is fused only where the source says so, so that every compiler gives the same bits.
    # -fno-math-errno changes no value; it lets sqrt be one instruction.
    'cflags': ['-Wall', '-Wextra', '-ffp-contract=off', '-fno-math-errno', '-fvisibility=hidden'],
    'cflags!': ['-Wno-unused-parameter'],
    'cflags_cc': ['-std=c++20', '-fvisibility-inlines-hidden'],
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-rtti', '-fno-exceptions'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'CLANG_CXX_LIBRARY': 'libc++',
      'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
      'GCC_ENABLE_CPP_RTTI': 'YES',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'MACOSX_DEPLOYMENT_TARGET': '11.0',
      'OTHER_CFLAGS': ['-ffp-contract=off', '-fno-math-errno'],
      'WARNING_CFLAGS': ['-Wall', '-Wextra'],
    },
    'configurations': {
      'Release': {
        'cflags': ['-O3'],
      },
      # Only the native tests are ever built in the next two, each with its sanitizers and in a folder of its own
      # (npm run test:sanitize). node-gyp insists on the name Debug.
      'Debug': {
        'cflags': ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
        'cflags!': ['-O0'],
        'ldflags': ['-fsanitize=address,undefined'],
      },
      'Thread': {
        'cflags': ['-O1', '-g', '-fsanitize=thread', '-fno-omit-frame-pointer'],
        'ldflags': ['-fsanitize=thread'],
      },
    },
    'conditions': [
      ['oneround_werror==1', { 'cflags': ['-Werror'], 'xcode_settings': { 'GCC_TREAT_WARNINGS_AS_ERRORS': 'YES' } }],
      ['target_arch=="x64"', { 'defines': ['ONEROUND_X86=1'] }],
    ],
  },
  'targets': [
    {
      'target_name': 'kernels_scalar',
      'type': 'static_library',
      'sources': ['<@(kernel_sources)'],
      'defines': ['ONEROUND_ISA=scalar', 'ONEROUND_ISA_SCALAR=1'],
    },
    {
      'target_name': 'engine',
      'type': 'static_library',
      'dependencies': ['kernels_scalar'],
      'export_dependent_settings': ['kernels_scalar'],
      'sources': ['<@(engine_sources)'],
      'conditions': [
        ['target_arch=="x64"', {
          'dependencies': ['kernels_avx2', 'kernels_avx512', 'kernels_avx512bf16'],
          'export_dependent_settings': ['kernels_avx2', 'kernels_avx512', 'kernels_avx512bf16'],
        }],
      ],
    },
    {
      'target_name': 'oneround',
      'dependencies': ['engine'],
      'sources': ['<!@(node scripts/native-sources.cjs native/addon.cc native/bind)'],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': ['NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'conditions': [
        # The addon keeps its thread pool and its table of shared weights for the life of the process,
        # also when the last worker_thread that loaded it has ended.
        ['OS=="linux"', { 'ldflags': ['-Wl,-z,nodelete'] }],
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'kernels_avx2',
          'type': 'static_library',
          'sources': ['<@(kernel_sources)'],
          'defines': ['ONEROUND_ISA=avx2', 'ONEROUND_ISA_AVX2=1'],
          'cflags': ['-mavx2', '-mfma', '-mf16c'],
          'xcode_settings': { 'OTHER_CFLAGS': ['-mavx2', '-mfma', '-mf16c'] },
        },
        {
          'target_name': 'kernels_avx512',
          'type': 'static_library',
          'sources': ['<@(kernel_sources)'],
          'defines': ['ONEROUND_ISA=avx512', 'ONEROUND_ISA_AVX512=1'],
          'cflags': ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma', '-mf16c', '-mprefer-vector-width=512'],
          'xcode_settings': { 'OTHER_CFLAGS': ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma', '-mf16c'] },
        },
        {
          'target_name': 'kernels_avx512bf16',
          'type': 'static_library',
          'sources': ['<@(kernel_sources)'],
          'defines': ['ONEROUND_ISA=avx512bf16', 'ONEROUND_ISA_AVX512=1', 'ONEROUND_ISA_BF16=1'],
          'cflags': ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mavx512bf16', '-mfma', '-mf16c', '-mprefer-vector-width=512'],
          'xcode_settings': { 'OTHER_CFLAGS': ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mavx512bf16', '-mfma', '-mf16c'] },
        },
      ],
    }],
    ['oneround_tests==1', {
      'targets': [
        {
          'target_name': 'native_tests',
          'type': 'executable',
          'dependencies': ['engine'],
          'sources': ['<!@(node scripts/native-sources.cjs native/reference test/native)'],
        },
      ],
    }],
  ],
}
